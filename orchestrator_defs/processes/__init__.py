"""What people and programs do with processes, the same behind every door."""
