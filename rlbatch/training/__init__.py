"""Training: the only room in which torch lives. Engines turn `RunConfig`s into rows and endings."""
