"""The command line: thin, arguments in, the loop called, results shown."""
