"""What it costs: `make bench` runs the real programs, measures their CPU time and memory, and prints a table.

Figures are CPU seconds of the measured process, not of the clock: machines are noisy, ratios within one run are not.
"""
