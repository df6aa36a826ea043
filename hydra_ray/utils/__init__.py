"""Small tools that know nothing of the package: files, locks, ports, terminals."""
