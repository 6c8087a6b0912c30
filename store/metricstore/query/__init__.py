"""Answering: requests understood, series selected, entries made. No HTTP, no disk."""
