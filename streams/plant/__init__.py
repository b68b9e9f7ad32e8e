"""A simulated bottling plant for the demo and the tests: no clock, no chance beyond its seed, raw readings out."""
