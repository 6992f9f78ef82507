"""The server process: its command, its workers, and the code servers beside them."""
