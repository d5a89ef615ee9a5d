"""Pages about finished runs and about the data: what `shared.report`, `shared.eda` and `shared.label_audit` show."""
