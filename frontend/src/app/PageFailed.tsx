/** In the place of a page that broke, or whose file could not be loaded. */

import { Component, type ReactNode } from "react";
import { ProblemNotice } from "../design/ProblemNotice";

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
      <main className="mx-auto max-w-2xl p-6">
        <ProblemNotice error={this.state.error} retry={() => window.location.reload()} />
      </main>
    );
  }
}
