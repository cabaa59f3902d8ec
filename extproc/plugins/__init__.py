"""Which kinds there are: the built-in ones, those of installed packages, and those of a gateway's own folder."""
