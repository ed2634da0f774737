"""Read a trained model and return numbers; a probe changes nothing it looks at."""
