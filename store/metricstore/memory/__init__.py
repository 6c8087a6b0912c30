"""What is kept in memory: which series there are, and their samples on grids. No I/O, no clock, no locks."""
