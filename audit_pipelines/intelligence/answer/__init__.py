"""Answers to questions about the trail, from the events that a search found and from nothing else."""
