"""Batching algorithms: asked after each window, each answers with the batching to apply."""
