"""Models of a Triton model repository as InferenceModels, its ensembles as InferencePipelines."""
