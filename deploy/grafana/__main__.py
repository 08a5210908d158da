"""`python -m deploy.grafana`: writes the dashboards' files anew."""

from deploy.grafana.files import contents

for file, text in contents().items():
    file.write_text(text)
