"""What a record folder is: card, schema, shards, and their verification."""
