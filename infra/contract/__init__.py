"""What the rooms agree on: tables, names and rules, each written once. Imports no other room."""
