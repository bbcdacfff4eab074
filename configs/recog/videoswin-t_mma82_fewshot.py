_base_ = 'videoswin-t_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
