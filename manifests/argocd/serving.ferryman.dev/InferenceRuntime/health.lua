-- A runtime has no status: what is wrong with it is said by the models that name it.
return {status = "Healthy", message = "models that name it tell whether it serves"}
