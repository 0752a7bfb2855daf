-- How this connection reached the server: by a socket of the machine, from which address, and encrypted how.
select inet_client_addr() is null, coalesce(host(inet_client_addr()), ''), s.ssl, coalesce(s.version, '')
from pg_stat_ssl s where s.pid = pg_backend_pid()
