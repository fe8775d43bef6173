"""InferenceServices as InferenceModels."""
