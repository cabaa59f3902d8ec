"""What the configuration means: the one structure that both compilers read, immutable and swapped whole."""
