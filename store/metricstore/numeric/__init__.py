"""Arithmetic on arrays of samples: no I/O, no clock, no knowledge of series. A missing value is NaN."""
