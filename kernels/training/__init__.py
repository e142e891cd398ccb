"""Training cores: views, losses and the objective that steps; tensors in, numbers out, without files or Ray."""
