"""Training cores: views, losses and the learner that steps; tensors in, numbers out, without files or Ray."""
