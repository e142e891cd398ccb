"""Objects that are like others, and objects that are like none: an index of a run's embeddings, and what is asked of it."""
