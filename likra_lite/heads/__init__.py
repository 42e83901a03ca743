"""Answered items to fitted heads, on the CPU."""
