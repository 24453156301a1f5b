"""Benchmarks: scripts that print a table and write a dated result with the machine it was measured on."""
