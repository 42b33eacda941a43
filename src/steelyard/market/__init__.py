"""Who owes whom: prices, bonds, vouchers, the life of an order as a table, the journal that all nodes keep."""
