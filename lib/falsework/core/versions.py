"""Integers that say when behaviour changed. A refactor keeps every number; a change of behaviour bumps one.

RECIPES enter the keys of trained models: a test trains five smoke steps of each and compares the losses with
tests/unit/golden.json; if they moved, bump the integer here and redraw the golden. MEASURES (notebook/experiment)
enter the keys of measured rows: bump when a measure gives other numbers for the same model.
"""

RECIPES = {
    "captioner": 1,
    "clip": 1,
    "dalle": 1,
    "diffusion": 1,
    "igpt": 2,
    "labels": 1,
    "noisy_reader": 1,
    "reader": 1,
    "recaptioned": 1,
    "recaptioner": 1,
    "tokenizer": 1,
    "unclip": 1,
}

MEASURES = {
    "00_the_world/information": 1,
    "00_the_world/melting": 1,
    "01_igpt/likelihood": 2,
    "01_igpt/layers": 2,
    "01_igpt/samples": 3,
    "01_igpt/endings": 2,
    "02_dalle1/drawing": 1,
    "02_dalle1/information": 1,
    "02_dalle1/sizes": 1,
    "02_dalle1/in_context": 1,
    "02_dalle1/puzzles": 1,
    "02_dalle1/halves": 1,
    "02_dalle1/pixels_or_tokens": 1,
    "03_clip/efficiency": 1,
    "03_clip/transfer": 1,
    "04_captioners/binding": 1,
    "04_captioners/swaps": 1,
    "05_diffusion_classifier/classifier": 1,
    "05_diffusion_classifier/noise": 1,
    "05_diffusion_classifier/drawing": 1,
    "05_diffusion_classifier/shift": 1,
    "05_diffusion_classifier/features": 1,
    "06_dalle2/restyling": 1,
    "06_dalle2/drawings": 1,
    "06_dalle2/styles": 1,
    "07_dalle3/descriptiveness": 1,
    "07_dalle3/recaptioning": 1,
    "07_dalle3/data_or_architecture": 1,
    "08_noise_ladder/coverage": 1,
    "08_noise_ladder/sweep": 1,
    "09_without_captions/scaffold": 1,
    "09_without_captions/budgets": 1,
    "09_without_captions/frame": 1,
}
