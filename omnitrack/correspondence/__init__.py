"""Which frames to match, how, and which of the matches to trust."""
