"""What is checked before a process starts or continues: inputs, permission, rules."""
