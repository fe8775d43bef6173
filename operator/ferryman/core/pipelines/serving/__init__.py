"""What a pipeline's server loads, what binds its balancer, and what a change of steps loads."""
