"""Losses, one small file each: (model, batch, generator) -> (loss in nats, metrics)."""
