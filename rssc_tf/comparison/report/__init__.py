"""The page of a comparison: verdict, tables, charts."""
