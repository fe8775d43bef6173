"""What builds, installs, shows and checks Ferryman; none of it is shipped."""
