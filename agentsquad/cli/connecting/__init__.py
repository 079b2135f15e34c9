"""What coding agents read to find the bridge: their formats, and how one entry comes and goes without the rest."""
