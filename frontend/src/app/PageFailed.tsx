/** In the place of a page that broke, or whose file could not be loaded. */

import { RotateCw } from "lucide-react";
import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import { PageNotLoaded } from "./page_files";

interface Props {
  children: ReactNode;
}

// React catches what breaks below in classes alone.
export class PageFailed extends Component<Props, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <div className="mx-auto max-w-2xl p-6">
        <WhatFailed error={this.state.error} />
      </div>
    );
  }
}

function WhatFailed({ error }: { error: unknown }) {
  const { t } = useTranslation();
  const again = () => window.location.reload();
  if (!(error instanceof PageNotLoaded)) return <ProblemNotice error={error} retry={again} />;
  return (
    <Notice
      kind="error"
      title={t("problem.notLoaded")}
      action={
        <Button onClick={again} icon={<RotateCw aria-hidden className="size-4" />}>
          {t("problem.retry")}
        </Button>
      }
    />
  );
}
