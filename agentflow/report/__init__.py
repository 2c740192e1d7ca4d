"""What people and programs read: tables, pictures, trees, JSON. Nothing is computed here."""
