"""The composition root: the only place where clocks, stores, servers and processes are made."""
