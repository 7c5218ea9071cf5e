"""A small physical world rendered to films whose truth is known."""
