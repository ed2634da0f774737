"""The ground floor: names, numbers on disk, chance. Nothing here knows torch."""
