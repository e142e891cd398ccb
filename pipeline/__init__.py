"""What runs and in which order: config, plan, flow, command line."""
