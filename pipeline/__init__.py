"""What runs and in which order: begin in `flow`, the whole job on one screen; each folder says what happens in it."""
