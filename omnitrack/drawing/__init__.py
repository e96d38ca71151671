"""Pictures of tracks, flow and depth: arrays in, arrays out."""
