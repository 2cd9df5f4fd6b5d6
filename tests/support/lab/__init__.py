"""A team's machines on this one: network namespaces, real programs, faults, and a load."""
