"""What is asked of the operating system: files, folders and processes, and what becomes of them.

Files are written whole or not at all (`atomic`) or go on after a kill (`resumable`); two folders
change places (`exchange`); temporary files and workers do not outlive the process that made them
(`scratch`, `workers`).
"""
