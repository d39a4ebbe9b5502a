"""The command line: one file per command group."""

from tidegate.import_path import leave_out_working_directory

# Before any command is imported, and with it the libraries: they are not to come from where the user stands.
leave_out_working_directory()
