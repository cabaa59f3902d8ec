"""The built-in kinds, one file each, written against what `extproc` exports to every policy author."""
