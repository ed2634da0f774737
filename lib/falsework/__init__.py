"""falsework: one keynote, turned into experiments anyone can run."""

__version__ = "0.1.0"
