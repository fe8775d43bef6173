"""What a tuner learns of a model from its windows: service times, their drift, and the demand."""
